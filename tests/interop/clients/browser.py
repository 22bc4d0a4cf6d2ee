"""A browser that agrees to everything: it follows redirects, keeps cookies, and submits the first form of a page."""

import re
import sys
from html import unescape
from http.cookiejar import CookieJar
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, Request, build_opener


class Stay(HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def log_in(url, redirect_uri):
    """Goes to `url`, and on from there until it is sent to `redirect_uri`; returns that one's parameters."""
    opener = build_opener(Stay, HTTPCookieProcessor(CookieJar()))
    form = None
    for _ in range(12):
        headers = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        if form is not None:
            headers |= {"origin": "{0.scheme}://{0.netloc}".format(urlsplit(url)), "sec-fetch-site": "same-origin"}
        try:
            answer = opener.open(Request(url, form, headers), timeout=10)
        except HTTPError as error:
            answer = error
        form = None
        if answer.status in (301, 302, 303, 307):
            url = urljoin(url, answer.headers["location"])
            if url.startswith(redirect_uri):
                return dict(parse_qsl(urlsplit(url).query))
            continue
        page = answer.read().decode()
        found = re.search(r"<form(.*?)>(.*?)</form>", page, re.S)
        if answer.status != 200 or not found:
            raise RuntimeError(f"{answer.status} from {url}: {page[:300]}")
        attributes, content = found.groups()
        action = re.search(r'action="([^"]*)"', attributes)
        url = urljoin(url, unescape(action.group(1))) if action else url
        form = urlencode(fields(content)).encode()
    raise RuntimeError(f"still on the way: {url}")


def fields(content):
    """The fields of a form: all inputs, and the button that says yes."""
    chosen = {}
    for tag in re.findall(r"<(?:input|button)[^>]*>", content):
        name, value = (re.search(rf'{key}="([^"]*)"', tag) for key in ("name", "value"))
        if name and value and chosen.get(name.group(1)) != "approve":
            chosen[name.group(1)] = unescape(value.group(1))
    return chosen


if __name__ == "__main__":
    print(urlencode(log_in(sys.argv[1], sys.argv[2])))
