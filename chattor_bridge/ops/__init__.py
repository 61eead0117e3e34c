"""What operators and tests run beside the product: the private Tor network, a private homeserver, the demo."""
