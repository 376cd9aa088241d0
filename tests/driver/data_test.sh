# Data as compiled programs read and write it: JSON lines, JSON and CSV, one input and several, right and wrong.
. "$(dirname "$0")/common.sh"
cd "$work"
cat >one.kir <<'END'
graph "one"
symbols batch
entry @predict(
    input 0 "x" %0: f32[batch,2,2]
) {
  %1 = neg(%0) : f32[batch,2,2]
  return output 0 "y" %1
}
END
cat >two.kir <<'END'
graph "two"
symbols batch
entry @predict(
    input 0 "a" %0: f32[batch,2],
    input 1 "b" %1: i32[batch,2]
) {
  %2 = cast(%1) dtype=f32 : f32[batch,2]
  %3 = mul(%0, %2) : f32[batch,2]
  %4 = add(%0, %2) : f32[batch,2]
  return output 0 "product" %3,
         output 1 "sum" %4
}
END
"$KERATIN" compile one.kir -o one
"$KERATIN" compile two.kir -o two
gives() { # EXPECTED GOT
    [ "$2" = "$1" ] || fail "'$2' instead of '$1'"
}

# Several inputs: an object a line in any order, a file each, CSV with a header or without; several outputs.
printf '{"a": [1, 2], "b": [3, 4]}\n{"b": [5, 6], "a": [7, 8]}\n' >ab.jsonl
both='{"product": [[3, 8], [35, 48]], "sum": [[4, 6], [12, 14]]}'
./two --input ab.jsonl --output o.json && gives "$both" "$(cat o.json)"
./two --input - --output o.json <ab.jsonl && gives "$both" "$(cat o.json)"
printf '1,2\n7,8\n' >a.csv
printf 'p,q\n3,4\n5,6\n' >b.csv
./two --input a=a.csv --input b=b.csv --output o.json && gives "$both" "$(cat o.json)"
./two --input a=a.csv --input b=- --output o.json <b.csv && gives "$both" "$(cat o.json)"
printf '[1, 2]\n[7, 8]\n' >a.jsonl
./two --input a=a.jsonl --input b=b.csv --output o.npz
./two --input ab.jsonl --output product=p.csv --output sum=s.csv
gives "3,8 35,48" "$(tr '\n' ' ' <p.csv | sed 's/ $//')"
gives "4,6 12,14" "$(tr '\n' ' ' <s.csv | sed 's/ $//')"
printf '{"a": [1, 2], "b": [3.7, 3000000000]}\n' >wide.jsonl # b is i32: truncated, saturated
./two --input wide.jsonl --output product=p.csv --output sum=s.csv && gives "3,4.2949673e+09" "$(cat p.csv)"

# One input: nested arrays, blank lines, numbers at the ends, as JSON, and by the first bytes of standard input.
printf '[[1,2],[3,4]]\n\n[[5,6],[7,8]]\n\n' >x.jsonl
gives "-1,-2,-3,-4 -5,-6,-7,-8 " "$(./one --input x.jsonl | tr '\n' ' ')"
gives "-1,-2,-3,-4 -5,-6,-7,-8 " "$(./one --input - <x.jsonl | tr '\n' ' ')"
gives "-1,-2,-3,-4" "$(echo 1,2,3,4 | ./one --input -)"
./one --input x.jsonl --output y.json && gives '[[[-1, -2], [-3, -4]], [[-5, -6], [-7, -8]]]' "$(cat y.json)"
printf '[[NaN,Infinity],[-Infinity,1e400]]\n' >ends.jsonl
gives "nan,-inf,inf,-inf" "$(./one --input ends.jsonl)"
./one --input ends.jsonl --output y.json && gives '[[[NaN, -Infinity], [Infinity, -Infinity]]]' "$(cat y.json)"
printf '1,nan,inf,-inf\r\n1e39,1e-50,"4", 5 \n' >ends.csv
gives "-1,nan,-inf,inf -inf,-0,-4,-5 " "$(./one --input ends.csv | tr '\n' ' ')"

# Wrong data: one sentence that names the file, and nothing written.
wrong() { # STATUS SENTENCE FILE PROGRAM
    rm -f y.json
    expect_status "$1" "./${4:-one}" --input "$3" --output y.json
    expect_errors 1
    expect_text "$2" errors
    [ ! -e y.json ] || fail "$3: a result was written"
}
: >empty.csv && wrong 1 'empty.csv: There are no numbers' empty.csv
printf 'a,b,c,d\n' >header.csv && wrong 1 'header.csv: There are no numbers' header.csv
printf '1,2,3\n' >narrow.csv && wrong 1 'narrow.csv: The input .x. has the shape \[1, 3\]' narrow.csv
printf '1,2,3,4\n1,2\n' >ragged.csv && wrong 1 'ragged.csv: Line 2 has 2 values' ragged.csv
printf '1,2,3,4\n1,2,x,4\n' >word.csv && wrong 1 'word.csv: Line 2 holds something that is no number' word.csv
printf '[[1,2],[3]]\n' >ragged.jsonl && wrong 1 'ragged.jsonl: Line 1: an array is not as long' ragged.jsonl
printf '[[1,2],[3,4]]\n[[5,6]]\n' >rows.jsonl && wrong 1 'rows.jsonl: Line 2: an array is not as long' rows.jsonl
printf '[[1,2],[3,4]' >open.jsonl && wrong 1 'open.jsonl: Line 1: ' open.jsonl
printf '[["x",2],[3,4]]\n' >word.jsonl && wrong 1 'word.jsonl: Line 1: ' word.jsonl
printf '[1,2,3,4]\n' >flat.jsonl && wrong 1 'flat.jsonl: The input .x. has the shape' flat.jsonl
printf '%100000s' '' | tr ' ' '[' >deep.jsonl && wrong 1 'deep.jsonl: Line 1: ' deep.jsonl
wrong 1 'missing.csv: It cannot be opened' missing.csv
wrong 2 "The input 'b' is missing" a=a.csv two
wrong 2 'There are several inputs; say for which one' a.jsonl two
printf '{"a": [1, 2], "b": [3, 4]}\n{"a": [7, 8]}\n' >names.jsonl
wrong 1 'names.jsonl: Line 2: every line must hold the same names' names.jsonl two
printf '1,2\n' >short.csv
expect_status 1 ./two --input a=a.csv --input b=short.csv --output y.json
expect_errors 1
expect_status 2 ./two --input a=a.csv --input a=b.csv
expect_text "The input 'a' is given twice" errors
expect_status 1 ./two --input ab.jsonl
expect_text 'It can hold one array, not 2' errors
expect_status 1 ./one --input x.jsonl --output y.txt
expect_text 'y.txt: The name of an output must end in' errors
