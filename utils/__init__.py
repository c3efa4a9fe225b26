"""Reading, checking, training and scoring: everything but the networks."""
