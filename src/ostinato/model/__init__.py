"""From the tensors of a file to what they mean: ModelSpec."""
