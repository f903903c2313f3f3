"""HAM-D, MADRS and other scales item by item."""
