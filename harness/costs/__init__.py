"""What costs are measured by: rounds that alternate, new interpreters, growing models, the instrument's own test."""
