"""What a finished run says of clips: answers, how sure it may be, and what speaks for them."""
