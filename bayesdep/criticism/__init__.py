"""Can the posterior be believed?"""
