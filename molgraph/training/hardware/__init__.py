"""What the loop runs on: device, precision, memory, the passes of a step, and several processes."""
