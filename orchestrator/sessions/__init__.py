"""What can be done with sessions, whoever asks: the API is one door to it."""
