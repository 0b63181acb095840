"""Requests -> batches -> tokens: scheduling, paged state, and surviving death."""
