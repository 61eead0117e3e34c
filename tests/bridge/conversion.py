import html as h
import re


class Plain:
    def html_to_markdown(self, html: str, /) -> str:
        return h.unescape(
            re.sub("<[^>]+>", "", html.replace("<br>", "\n").replace("<strong>", "**").replace("</strong>", "**"))
        )

    def markdown_to_html(self, markdown: str, /) -> str | None:
        return None if "**" not in markdown else re.sub(r"\*\*(.*?)\*\*", r"<strong>\1</strong>", markdown)
