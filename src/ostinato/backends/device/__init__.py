"""What backends on a device of its own share (CUDA, WebGPU): phases, the layout of StepState, weights in planes."""
