"""Plain models: Keras networks, their distributions, tensors and folders. Neither Spark nor Horovod, and no
TensorFlow until a network is built.
"""
