"""Every estimator of scikit-learn through plain skl2onnx and through :func:`converters.convert`."""
