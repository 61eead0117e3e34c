"""End-to-end encryption between Matrix clients and the bridge: Olm and Megolm for the bot and for every ghost."""
