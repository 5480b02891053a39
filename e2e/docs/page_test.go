// Package docs holds what the project says about itself to the code, to the
// examples and to the real programs.
package docs

import (
	"os"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	table "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

// Page is a page of documentation, as GitHub reads it.
type Page struct {
	// Blocks are its fenced code blocks.
	Blocks []Block
	// Tables are its tables, without their heads.
	Tables []Table
	// Links are the destinations of its links and images.
	Links []string
	// Anchors are the names of its headings in a URL.
	Anchors map[string]bool
	// Code are its code spans.
	Code []string
}

// Block is a fenced code block.
type Block struct {
	Section  string // the heading it stands under
	Language string
	Text     string
	// Source is the file of the project that the block is a part of, as a
	// comment before it says. Empty if there is none.
	Source string
	// Answer is the text block that follows at once, empty if there is none.
	Answer string
}

// Table is a table.
type Table struct {
	Section string
	Rows    [][]Cell
}

// Cell is a cell of a table.
type Cell struct {
	// Text is what is read, without marks.
	Text string
	// Code are the code spans in it.
	Code []string
}

var (
	sourceComment = regexp.MustCompile(`^<!-- from (\S+) -->\s*$`)
	notInAnchor   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// ReadPage reads a Markdown file.
func ReadPage(name string) (*Page, error) {
	source, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	page := &Page{Anchors: map[string]bool{}}
	section := ""
	root := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	err = ast.Walk(root, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := node.(type) {
		case *ast.Heading:
			section = plainText(n, source)
			page.Anchors[anchor(section)] = true
		case *ast.FencedCodeBlock:
			page.Blocks = append(page.Blocks, readBlock(n, section, source))
		case *ast.Link:
			page.Links = append(page.Links, string(n.Destination))
		case *ast.Image:
			page.Links = append(page.Links, string(n.Destination))
		case *ast.CodeSpan:
			page.Code = append(page.Code, plainText(n, source))
		case *table.Table:
			page.Tables = append(page.Tables, Table{Section: section})
		case *table.TableRow:
			last := &page.Tables[len(page.Tables)-1]
			last.Rows = append(last.Rows, readRow(n, source))
		}
		return ast.WalkContinue, nil
	})
	return page, err
}

// anchor returns what GitHub calls a heading in a URL.
func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

func readBlock(n *ast.FencedCodeBlock, section string, source []byte) Block {
	block := Block{Section: section, Language: string(n.Language(source)), Text: string(n.Lines().Value(source))}
	if before, ok := n.PreviousSibling().(*ast.HTMLBlock); ok {
		if found := sourceComment.FindStringSubmatch(string(before.Lines().Value(source))); found != nil {
			block.Source = found[1]
		}
	}
	if after, ok := n.NextSibling().(*ast.FencedCodeBlock); ok && string(after.Language(source)) == "text" {
		block.Answer = string(after.Lines().Value(source))
	}
	return block
}

func readRow(row *table.TableRow, source []byte) []Cell {
	var cells []Cell
	for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
		c := Cell{Text: plainText(cell, source)}
		_ = ast.Walk(cell, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
			if span, ok := node.(*ast.CodeSpan); ok && entering {
				c.Code = append(c.Code, plainText(span, source))
			}
			return ast.WalkContinue, nil
		})
		cells = append(cells, c)
	}
	return cells
}

// plainText returns the text in a node, without marks.
func plainText(node ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(node, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if n, ok := node.(*ast.Text); ok && entering {
			b.Write(n.Value(source))
			if n.SoftLineBreak() {
				b.WriteByte(' ')
			}
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}
