"""The public functions that join descriptions and the model, one module per verb."""
