"""Where plans meet machines: `engines/` generate, `runtime/` schedules, meters, stores and executes."""
