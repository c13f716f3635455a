"""One release as something that answers: its schema, session, inputs, outputs and keys."""
