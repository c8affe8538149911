package tenants

import (
	"io/fs"
	"iter"
	"os"
	"time"
)

// settled is how old a file's last change must be before its size, time and
// inode are believed to stand for its bytes: two writes within one tick of the
// file system's clock cannot be told apart.
const settled = 2 * time.Second

// watch tells what files hold, and reads only those that may have changed.
type watch struct {
	now   func() time.Time
	known map[string]sighting
}

// sighting is a file as it was when it was read.
type sighting struct {
	info  fs.FileInfo
	at    time.Time
	print fingerprint
}

func newWatch(now func() time.Time) watch {
	return watch{now: now, known: make(map[string]sighting)}
}

// look returns the fingerprints of the files at paths, symbolic links followed,
// and forgets every other file.
func (w *watch) look(paths iter.Seq[string]) reads {
	seen, known := make(reads), make(map[string]sighting)
	for path := range paths {
		s := w.file(path)
		seen[path], known[path] = s.print, s
	}
	w.known = known
	return seen
}

func (w *watch) file(path string) sighting {
	info, err := os.Stat(path)
	if err != nil {
		return sighting{}
	}
	if s, ok := w.known[path]; ok && s.stands(info) {
		return s
	}
	at := w.now() // before the read: a write during it makes the sighting doubtful
	data, err := readFile(path)
	return sighting{info: info, at: at, print: fingerprintOf(data, err)}
}

// stands reports whether a file that now looks like info must hold what it held.
func (s sighting) stands(info fs.FileInfo) bool {
	return s.info != nil && os.SameFile(s.info, info) &&
		s.info.Size() == info.Size() && s.info.ModTime().Equal(info.ModTime()) &&
		s.at.Sub(info.ModTime()) > settled
}
