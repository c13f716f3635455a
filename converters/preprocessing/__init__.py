"""What comes before a network, as ONNX operators inside its file: pictures, sounds, texts."""
