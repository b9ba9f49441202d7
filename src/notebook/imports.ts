/**
 * What a program imports, and which packages give it.
 */
import { statementsOf } from './python.ts';

/** Modules of Python's own library (3.8 to 3.13). */
const own = new Set(
  `__future__ abc aifc argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii bisect builtins bz2
cProfile calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys compileall concurrent configparser
contextlib contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis distutils doctest
email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc getopt
getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib imaplib imghdr imp importlib inspect io
ipaddress itertools json keyword lib2to3 linecache locale logging lzma mailbox mailcap marshal math mimetypes mmap
modulefinder msilib msvcrt multiprocessing netrc nis nntplib ntpath numbers opcode operator optparse os ossaudiodev
pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd
py_compile pyclbr pydoc queue quopri random re readline reprlib resource rlcompleter runpy sched secrets select selectors
shelve shlex shutil signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3 ssl stat statistics string
stringprep struct subprocess sunau symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios textwrap this
threading time timeit tkinter token tokenize tomllib trace traceback tracemalloc tty turtle types typing unicodedata
unittest urllib uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc zipapp zipfile
zipimport zlib zoneinfo`.split(/\s+/),
);

/** Packages whose module has another name. */
const packages: Readonly<Record<string, string>> = {
  Crypto: 'pycryptodome',
  OpenSSL: 'pyOpenSSL',
  PIL: 'Pillow',
  attr: 'attrs',
  bs4: 'beautifulsoup4',
  cv2: 'opencv-python-headless',
  dateutil: 'python-dateutil',
  dotenv: 'python-dotenv',
  faiss: 'faiss-cpu',
  fitz: 'PyMuPDF',
  git: 'GitPython',
  mpl_toolkits: 'matplotlib',
  osgeo: 'GDAL',
  psycopg2: 'psycopg2-binary',
  serial: 'pyserial',
  skimage: 'scikit-image',
  sklearn: 'scikit-learn',
  umap: 'umap-learn',
  yaml: 'PyYAML',
};

/** Modules that are imported anywhere, by their first part, sorted; not Python's own, nor relative ones. */
export function modulesOf(source: string): string[] {
  const found = new Set<string>();
  for (const [first, ...rest] of statementsOf(source)) {
    const words = rest.map(({ text }) => text);
    if (first?.text === 'from' && rest[0]?.kind === 'name') found.add(rest[0].text);
    if (first?.text !== 'import') continue;
    for (const [index, word] of words.entries()) {
      // `import a.b as c, d`: a name at the start, or after a comma.
      if (index === 0 || words[index - 1] === ',') found.add(word);
    }
  }
  return [...found].filter((name) => !own.has(name)).sort();
}

/** What a package is called that gives a module. */
export function packageOf(module: string): string {
  return packages[module] ?? module.replaceAll('_', '-');
}
