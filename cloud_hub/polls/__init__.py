"""What a whole fleet asks again and again, answered from memory."""
