"""What the owner says in a portal, on its way to the friend: one module for each way of saying it."""
