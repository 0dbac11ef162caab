package ai.edgekit.demo.runtime;

/** A picture that gives the pixels of its rows, or of its columns, as channel planes. */
interface PixelLines {
    /** Says which region will be read, all inside of the picture, and whether by its columns or by its rows. */
    void open(Box region, boolean columns);

    /**
     * Reads `count` pixels of a row (or column) from the column (or row) `first` on; positions are the picture's. Red
     * goes to planes[at…], green to planes[at + stride…], blue to planes[at + 2 · stride…], each 0 to 255.
     */
    void read(int line, int first, int count, int[] planes, int at, int stride);
}
