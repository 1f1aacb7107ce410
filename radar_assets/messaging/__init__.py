"""Messages to people and programs: an outbox, a deliverer, and channels such as mail, webhooks and chats.

Layers put contents into the outbox and register how these are rendered; nothing here knows a rule, a report or an invoice.
"""
