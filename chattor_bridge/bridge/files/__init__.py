"""Files between Matrix and Chattor: what events say of them, and how each goes over without a copy of it here."""
