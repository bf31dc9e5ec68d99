"""The machine that computes: devices, cores, bfloat16, and several processes as one."""
