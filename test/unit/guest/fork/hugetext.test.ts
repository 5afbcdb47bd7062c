/** Python's text in a zygote's own huge pages, whose page tables forks inherit. */
import { runGuestScript } from '../../../support/guest/script';

const SCRIPT = `
from _argyle import clib
library = clib.load()

def text():
    with open("/proc/self/maps") as file:
        lines = [line.split() for line in file]
    pages = [line for line in lines if "x" in line[1] and "[" not in line[-1]]
    own = [line[0].split("-") for line in pages if len(line) == 5]
    return sum(int(end, 16) - int(start, 16) for start, end in own), any("w" in line[1] for line in pages)

before = text()
moved = [library.share_text(), library.share_text()]
# Runs what was moved: arithmetic, imports, exceptions.
import decimal, re
try:
    1 // 0
except ZeroDivisionError as error:
    said = str(error)
print(json.dumps({"before": before, "moved": moved, "after": text(), "said": said, "pi": str(decimal.Decimal("3.14") * 2)}))
`;

interface Outcome {
  before: [number, boolean];
  moved: [number, number];
  after: [number, boolean];
  said: string;
  pi: string;
}

describe('share_text()', () => {
  test('moves whole huge pages, once, and the text is never writable', () => {
    const { before, moved, after, said, pi } = runGuestScript(SCRIPT) as Outcome;
    const [first, second] = moved;
    expect(first % (2 << 20)).toBe(0);
    expect(second).toBe(first);
    expect(before).toEqual([0, false]);
    expect(after).toEqual([first, false]);
    expect({ said, pi }).toEqual({ said: 'integer division or modulo by zero', pi: '6.28' });
  });
});
