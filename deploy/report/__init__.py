"""Reports as HTML, JUnit, Markdown and on the terminal; two reports compared."""
