"""From a request to an accepted call: may it be answered later, would the view refuse it, what is stored of it."""
