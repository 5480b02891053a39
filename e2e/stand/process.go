package stand

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopLimit is how long a process may take to end by itself.
const stopLimit = 15 * time.Second

// Process is a program that runs until Stop, with its output in a file.
type Process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended
	err  error         // how it ended
	// asked tells that it ended because it was told to.
	asked bool
}

// Run starts cmd in dir with its output in name.log. The program ends with the
// one that started it, even if that is killed.
func Run(cmd *exec.Cmd, dir, name string) (*Process, error) {
	p := &Process{name: name, log: filepath.Join(dir, name+".log"), cmd: cmd, done: make(chan struct{})}
	output, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, output, output
	// A group of its own keeps the terminal's Ctrl-C away: Stop ends it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The death signal is tied to the thread that starts the program.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer output.Close()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// Log returns what the program has printed so far.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Await calls check until it returns nil. It gives up when ctx ends or the
// program does, and then shows the program's log.
func (p *Process) Await(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return await(ctx, p, check)
}

// explain adds the end of the log to err.
func (p *Process) explain(err error) error {
	lines := strings.Split(strings.TrimSpace(p.Log()), "\n")
	return fmt.Errorf("%w\n%s", err, strings.Join(lines[max(0, len(lines)-40):], "\n"))
}

// Stop ends the program and waits until it has ended. That it had ended before
// is an error.
func (p *Process) Stop() error {
	select {
	case <-p.done:
		if p.asked {
			return nil
		}
		return p.explain(fmt.Errorf("%s ended before it was told to: %v", p.name, p.err))
	default:
	}
	_, err := p.End(syscall.SIGTERM)
	return err
}

// End sends the program a signal, waits until it has ended and returns the exit
// code. One that does not end in time is killed, which is an error.
func (p *Process) End(signal os.Signal) (code int, err error) {
	p.asked = true
	if err := p.cmd.Process.Signal(signal); err != nil {
		return 0, err
	}
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(stopLimit):
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	return p.cmd.ProcessState.ExitCode(), p.explain(fmt.Errorf("%s did not end within %s", p.name, stopLimit))
}
