"""The policy of a model: what it says is in ``schema``; ``service`` plans and applies it."""
