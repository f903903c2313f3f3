"""A laboratory's or clinic's file -> a tidy table, in which every row knows the cell that it was read from."""
