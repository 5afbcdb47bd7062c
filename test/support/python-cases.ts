/**
 * What Python code expects of a machine: for each expectation, a small function and its answer in a sandbox.
 * docs/python.md has a line for each case, by name.
 */
export interface PythonCase {
  name: string;
  source: string;
  /** The answer, or a pattern for its text when the status is not 200. */
  gives: unknown;
  status?: number;
  /** Lines of ol.yaml in addition to the limits. */
  yaml?: string;
  requirements?: string;
  /** Lines that the function's log must have afterwards. */
  logs?: string[];
}

const POOL = (how: string) => `import multiprocessing as mp

def square(x):
    return x * x

def f(event):
    with mp.get_context("${how}").Pool(2) as pool:
        return pool.map(square, [1, 2, 3])
`;

/** A function with these statements. The last one returns. */
const f = (...lines: string[]) => `import os, sys, subprocess\n\ndef f(event):\n    ${lines.join('\n    ')}\n`;

export const PYTHON_CASES: PythonCase[] = [
  { name: 'multiprocessing: fork', source: POOL('fork'), gives: [1, 4, 9] },
  { name: 'multiprocessing: spawn', source: POOL('spawn'), gives: [1, 4, 9] },
  { name: 'multiprocessing: forkserver', source: POOL('forkserver'), gives: [1, 4, 9] },
  {
    name: 'multiprocessing: shared memory, locks and queues',
    source: `import multiprocessing as mp
from multiprocessing import shared_memory

def child(lock, queue, name):
    memory = shared_memory.SharedMemory(name=name)
    with lock:
        queue.put(memory.buf[0])
    memory.close()

def f(event):
    memory = shared_memory.SharedMemory(create=True, size=8)
    memory.buf[0] = 7
    queue = mp.Queue()
    process = mp.Process(target=child, args=(mp.Lock(), queue, memory.name))
    process.start()
    value = queue.get(timeout=5)
    process.join()
    memory.close()
    memory.unlink()
    return value
`,
    gives: 7,
  },
  {
    name: 'multiprocessing: Manager',
    source:
      'import multiprocessing as mp\n\ndef f(event):\n    with mp.Manager() as m:\n        return len(m.dict())\n',
    gives: /EOFError/,
    status: 500,
  },
  {
    name: 'concurrent.futures: processes',
    source: `import multiprocessing as mp
from concurrent.futures import ProcessPoolExecutor

def square(x):
    return x * x

def f(event):
    with ProcessPoolExecutor(2, mp_context=mp.get_context("spawn")) as pool:
        return list(pool.map(square, [1, 2, 3]))
`,
    gives: [1, 4, 9],
  },
  {
    name: 'threads',
    source: `from concurrent.futures import ThreadPoolExecutor

def f(event):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(abs, [-1, -2]))
`,
    gives: [1, 2],
  },
  {
    name: 'subprocess: Python with the packages of the function',
    source: f(
      'code = "import argyle_sample_tiny, helper; print(helper.X)"',
      'run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/tmp")',
      'return [run.returncode, run.stdout, run.stderr]',
    ),
    gives: [0, '5\n', ''],
    requirements: 'argyle-sample-tiny==1.0.0',
  },
  {
    name: 'subprocess: Python with the options of its parent',
    source: f(
      'options = subprocess._args_from_interpreter_flags()',
      'command = [sys.executable, *options, "-c", "import argyle_sample_tiny, helper; print(helper.X)"]',
      'run = subprocess.run(command, capture_output=True, text=True, cwd="/tmp")',
      'given = [sys.flags.isolated, sys.flags.optimize, isinstance(sys.flags, tuple)]',
      'return [run.returncode, run.stdout, run.stderr, options, given]',
    ),
    gives: [0, '5\n', '', ['-S'], [0, 0, true]],
    requirements: 'argyle-sample-tiny==1.0.0',
  },
  {
    name: 'subprocess: programs of the base',
    source: f('return subprocess.run("echo $((1 + 1)) | tr 2 3", shell=True, capture_output=True, text=True).stdout'),
    gives: '3\n',
  },
  {
    name: 'asyncio: subprocesses',
    source: `import asyncio, sys

async def f(event):
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(2)", stdout=pipe)
    out, _ = await process.communicate()
    return [process.returncode, out.decode()]
`,
    gives: [0, '2\n'],
  },
  {
    name: 'os.fork: a child that returns from f',
    source: f(
      'pid = os.fork()',
      'if pid == 0:',
      '    return "child"',
      'return ["parent", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]',
    ),
    gives: ['parent', 0],
  },
  {
    name: 'sockets: listening on TCP',
    source: 'import socket\n\ndef f(event):\n    s = socket.socket()\n    s.bind(("127.0.0.1", 0))\n    s.listen()\n',
    gives: /PermissionError/,
    status: 500,
  },
  {
    name: 'sockets: unix',
    source: 'import socket\n\ndef f(event):\n    socket.socket(socket.AF_UNIX)\n',
    gives: /Address family not supported/,
    status: 500,
  },
  {
    name: 'sockets: pairs',
    source:
      'import socket\n\ndef f(event):\n    a, b = socket.socketpair()\n    a.send(b"x")\n    return b.recv(1).decode()\n',
    gives: 'x',
  },
  {
    name: 'hostname',
    source: 'import socket\n\ndef f(event):\n    return socket.gethostbyname(socket.gethostname())\n',
    gives: '127.0.0.1',
  },
  {
    name: 'environment: TZ',
    source: 'import datetime\n\ndef f(event):\n    return datetime.datetime.fromtimestamp(0).hour\n',
    gives: 9,
    yaml: 'environment: {TZ: Asia/Tokyo}',
  },
  {
    name: 'environment: values of ol.yaml win',
    source: f('return [os.environ[k] for k in ("HOME", "LANG", "TMPDIR", "PATH", "OMP_NUM_THREADS")]'),
    gives: ['/tmp/h', 'en_US.UTF-8', '/host', '/usr/bin', '4'],
    yaml: 'environment: {HOME: /tmp/h, LANG: en_US.UTF-8, TMPDIR: /host, PATH: /usr/bin, OMP_NUM_THREADS: "4"}',
  },
  {
    name: '/dev/stdout and /dev/stderr',
    source: `import logging, subprocess
logging.basicConfig(handlers=[logging.FileHandler("/dev/stdout")])

def f(event):
    logging.warning("by logging")
    with open("/dev/stderr", "w") as file:
        print("by print", file=file)
    return subprocess.run("echo by a shell >> /dev/stdout", shell=True).returncode
`,
    gives: 0,
    logs: ['WARNING:root:by logging', 'by print', 'by a shell'],
  },
  {
    name: '/dev/stdin',
    source: f(
      'def end(path):',
      '    with open(path) as file:',
      '        return file.read(1)',
      'cat = subprocess.run("cat /dev/stdin -", shell=True, input=b"x", capture_output=True)',
      'return [end("/dev/stdin"), end("/dev/fd/0"), os.path.samestat(os.stat("/dev/stdin"), os.fstat(0)), cat.stdout.decode()]',
    ),
    gives: ['', '', true, 'x'],
  },
  {
    name: '/dev/fd/0, 1 and 2',
    source: f(
      'with open("/dev/fd/1", "a") as out, open("/dev/fd/2", "a") as err:',
      '    print("by descriptor 1", file=out)',
      '    print("by descriptor 2", file=err)',
      'return subprocess.run("echo by a tee | tee -a /dev/fd/2 >/dev/null", shell=True).returncode',
    ),
    gives: 0,
    logs: ['by descriptor 1', 'by descriptor 2', 'by a tee'],
  },
  {
    name: '/dev/fd: other descriptors',
    source: f(
      'r, w = os.pipe()',
      'shell = ["bash", "-c", "cat <(echo x)"]',
      'return [os.path.exists(f"/dev/fd/{r}"), subprocess.run(shell, capture_output=True).returncode]',
    ),
    gives: [false, 1],
  },
  {
    name: '/dev/fd: its list',
    source: f(
      'try:',
      '    return os.listdir("/dev/fd")',
      'except PermissionError as error:',
      '    return error.strerror',
    ),
    gives: 'Permission denied',
  },
  { name: '/proc', source: f('return os.listdir("/proc")'), gives: /FileNotFoundError/, status: 500 },
  {
    name: 'files: /tmp, /dev/shm and /host',
    source: f(
      'for place in ("/tmp", "/dev/shm", "/host"):',
      '    open(place + "/x", "w").close()',
      'return os.access("/handler", os.W_OK) or os.access("/packages", os.W_OK)',
    ),
    gives: false,
  },
  {
    name: 'inotify',
    source:
      'import ctypes, os\n\ndef f(event):\n    libc = ctypes.CDLL(None, use_errno=True)\n    libc.inotify_init1(0)\n    return os.strerror(ctypes.get_errno())\n',
    gives: 'Function not implemented',
  },
  {
    name: 'f(event, context)',
    source:
      'def f(event, context):\n    return [context.function_name, context.memory_limit_mb, context.remaining_ms() > 0]\n',
    gives: ['f-event-context-', 200, true],
  },
];
