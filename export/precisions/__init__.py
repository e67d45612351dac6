"""Files of other precisions: converted, calibrated, checked and measured."""
