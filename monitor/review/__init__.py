"""Which exchanges a person should look at, why, and what their answers say about all the others."""
