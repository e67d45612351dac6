"""The networks made for real time, each with the state_dict names of its released PyTorch code."""
