"""One Chattor identity at work: codes, doors, knocks, contacts, links, the outbox. No Matrix, no database, no tor."""
