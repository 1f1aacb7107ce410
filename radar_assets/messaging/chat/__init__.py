"""What chats share: their base, their markup, and sending through apprise."""
