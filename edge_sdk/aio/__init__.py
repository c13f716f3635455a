"""The device for asyncio."""
