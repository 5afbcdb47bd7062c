/** The warm-up of zygotes and spares: the whole life of a leaf, without a trace that a handler could see. */
import { runGuestScript } from '../../../support/guest/script';

const SCRIPT = `
import os
from _argyle import channel
from _argyle.apps import entry, function, leaf
from _argyle.fork import warm
from _argyle.http import server
os.chdir("/")
seen = []
sys.modules["sample"] = sys  # a package's, as a zygote may have imported it

def watch(module, name):
    real = getattr(module, name)
    def watched(*args):
        seen.append(name)
        return real(*args)
    setattr(module, name, watched)

for module, name in ((entry, "prepare"), (entry, "load"), (function, "handler"), (server, "_serve_one")):
    watch(module, name)
if sys.argv[2:] == ["broken"]:
    def load(document):
        raise ValueError("as a package may break it")
    leaf.load = load

def state():
    return {
        "path": sys.path, "environment": dict(os.environ), "cwd": os.getcwd(), "modules": sorted(sys.modules),
        "descriptors": sorted(os.listdir("/proc/self/fd")), "bytecode": sys.dont_write_bytecode,
        "channel": [channel.LINK_FD, channel.accept.__qualname__], "code": entry.HANDLER_DIR,
    }

warm.run()
before = json.dumps(state())
seen.clear()
warm.run()
print(json.dumps({"before": json.loads(before), "after": state(), "seen": seen}))
`;

type Outcome = Record<'before' | 'after', Record<string, unknown>> & { seen: string[] };

describe('a warm-up', () => {
  test("runs a leaf's code up to an answer", () => {
    const { seen } = runGuestScript(SCRIPT) as Outcome;
    // The second read of the connection finds its end.
    expect(seen).toEqual(['prepare', 'load', 'handler', '_serve_one', '_serve_one']);
  });

  test.each([[[]], [['broken']]])('does not change %j', (options: string[]) => {
    const { before, after } = runGuestScript(SCRIPT, options) as Outcome;
    expect(after).toEqual(before);
    expect(after['modules']).toContain('sample');
    expect(before['channel']).toEqual([3, 'accept']);
    expect(before['environment']).not.toHaveProperty('ARGYLE_WARM');
  });
});

describe('the module of an entry file', () => {
  const MADE = `
from _argyle.apps import entry
entry.HANDLER_DIR = sys.argv[2]
if sys.argv[3] == "ahead":
    entry.prepare_entry_module()
module = entry.load({}).target.__globals__
print(json.dumps({name: repr(value) for name, value in module.items() if name not in ("f", "__builtins__")}))
`;

  test('is the same when it is made ahead', () => {
    const folder = 'test/lambdas/echo';
    const [ahead, late] = ['ahead', 'late'].map((when) => runGuestScript(MADE, [folder, when])) as Record<
      string,
      string
    >[];
    const stable = (module: Record<string, string> | undefined): string =>
      JSON.stringify(module).replaceAll(/0x[0-9a-f]+/g, '0x');
    expect(stable(ahead)).toBe(stable(late));
    expect(ahead?.['__file__']).toBe(`'${folder}/f.py'`);
  });
});
