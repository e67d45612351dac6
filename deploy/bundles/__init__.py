"""What a bundle must satisfy before anything is believed of it, and what is read from it."""
