"""The engine: equations, layers, losses, optimisers and the training loop."""
