"""What takes the place of an agent that works alone on a task: the baselines to compare it with."""
