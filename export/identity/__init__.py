"""The identity certificate: both arms exported and compared."""
