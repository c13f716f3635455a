"""What a release says of itself: a model card for people, a bill of materials for their tools."""
