"""A training for tests of searches: the tool's interface without its model.

It takes a tenth of a second. AP is 1 - |log10(lr / 0.1)| / 4, less early on;
rates above 1 give NaN, and those below 0.001 crash.
"""

import json
import math
import os
import re
import sys
import time
from pathlib import Path


def main(config, work_dir, settings):
    folder = Path(work_dir)
    text = Path(config).read_text()
    found = re.search(r"'lr': ([\d.e-]+)", text)
    rate = float(found[1]) if found else 0.04
    if rate > 1:
        sys.exit('error: nothing of it was saved; try a lower rate')
    if rate < 0.001:
        sys.exit('error: a crash')
    (folder / 'parent.txt').write_text(str(os.getppid()))
    at = int(settings.get('default_hooks.pause.at', 300))
    begin = int(settings['train_cfg.val_begin'])
    interval = int(settings['train_cfg.val_interval'])
    progress = folder / 'iter.txt'
    done = int(progress.read_text()) if progress.exists() else 0
    log = folder / f'run{time.time_ns()}' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    while done < at:
        time.sleep(float(os.environ.get('PAUSE', 0.02)))
        done += 25
        lines = [dict(iter=done, step=done)]
        if done >= begin and done % interval == 0:
            ap = 1 - abs(math.log10(rate / 0.1)) / 4
            lines.append({'coco/bbox_mAP': ap * done / 300, 'step': done})
        with log.open('a') as file:
            file.writelines(json.dumps(line) + '\n' for line in lines)
        part = progress.with_suffix('.part')
        part.write_text(str(done))
        part.replace(progress)


if __name__ == '__main__':
    options = dict(
        o.split('=', 1)
        for o in sys.argv[sys.argv.index('--cfg-options') + 1 :]
    )
    main(sys.argv[1], sys.argv[3], options)
