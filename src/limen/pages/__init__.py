"""Records → one offline HTML page, Markdown, CSV, JSON, terminal: selected, ordered, worded, drawn; never measured.

Import what you need from its file: `page.render_html`, `markdown.render_markdown`, `table.render_csv`,
`document.render_json`, `terminal.render_terminal`, `figure.budget_figure`.
"""
