package stand

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// Wiki is a running TiddlyWiki, an app that has no service worker.
type Wiki struct {
	// URL is where it listens, without a path.
	URL     string
	process *Process
}

// wikiFiles are what a wiki consists of, by path: it saves what is written in it, and
// asks each second for what others have.
var wikiFiles = map[string]string{
	"tiddlywiki.info": `{"plugins": ["tiddlywiki/tiddlyweb", "tiddlywiki/filesystem"],
		"themes": ["tiddlywiki/vanilla", "tiddlywiki/snowwhite"]}`,
	"tiddlers/polling.tid": "title: $:/config/SyncPollingInterval\n\n1000",
	"tiddlers/default.tid": "title: $:/DefaultTiddlers\n\nStart",
	"tiddlers/start.tid":   "title: Start\n\nThe wiki has started.",
}

// StartWiki starts a TiddlyWiki that keeps its files in dir, and returns once it answers.
func StartWiki(ctx context.Context, dir string) (*Wiki, error) {
	for path, content := range wikiFiles {
		file := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	script, err := installed("tiddlywiki", "tiddlywiki.js")
	if err != nil {
		return nil, err
	}
	listener, port, err := holdPort()
	if err != nil {
		return nil, err
	}
	if err := listener.Close(); err != nil {
		return nil, err
	}
	command := exec.Command("node", script, ".", "--listen", "host=127.0.0.1", "port="+strconv.Itoa(port))
	command.Dir = dir
	url := "http://127.0.0.1:" + strconv.Itoa(port)
	process, err := startServer(ctx, command, dir, "wiki", url+"/status")
	if err != nil {
		return nil, err
	}
	return &Wiki{url, process}, nil
}

// Ended is closed when the server has ended.
func (w *Wiki) Ended() <-chan struct{} { return w.process.Ended() }

// Close ends the server.
func (w *Wiki) Close() error { return w.process.Stop() }
