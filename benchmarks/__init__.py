"""Speed and memory of a conversion, against the limit of the machine and against the peers, in one run."""
