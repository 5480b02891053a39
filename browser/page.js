// The script of the page at the refresh path: it finds the page that the tab
// came from, and goes through the login back to it. The server checks the path.
;(() => {
	const from = window.navigation?.entries()[navigation.currentEntry.index - 1]
	const { pathname, search, hash } = new URL(from?.url ?? '/', location.href)
	location.replace(`?rd=${encodeURIComponent(pathname + search + hash)}`)
})()
