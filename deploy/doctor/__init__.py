"""What a machine has and what it lacks to run engines."""
